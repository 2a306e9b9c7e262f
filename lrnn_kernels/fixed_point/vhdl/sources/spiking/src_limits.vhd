-- Simulation alone: stops where a current or an accumulator leaves its limits, which are errors of
-- the network, as the golden model does: it names the first of them, by sequence, step and layer.
-- Layers work on different frames at the same time. So an overflow is told once its frame has come
-- to the end of the network: until then a later layer may find one in an earlier frame.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use work.src_package.all;
use work.network_package.all;

entity src_limits is
  port (
    clk         : in std_logic;
    rst         : in std_logic;
    watch_valid : in std_logic_vector(LAYERS - 1 downto 0);  -- see src_network
    watch       : in std_logic_vector(WATCH_BITS - 1 downto 0);
    firsts      : in std_logic_vector(LAYERS - 1 downto 0);  -- of each layer, with watch_valid
    counted     : in std_logic;
    votes       : in std_logic_vector(CLASSES * ACCUMULATOR_BITS - 1 downto 0)
  );
end entity;

architecture simulation of src_limits is

  -- Where a layer, or the read-out, is: frames that it has done in all, and the last one's place.
  type place_t is record
    frames : natural;
    series : integer;  -- the sequence, from 0 on
    step   : natural;
  end record;
  constant START : place_t := (frames => 0, series => -1, step => 0);

  procedure advance(variable place : inout place_t; first : in std_logic) is
  begin
    place.frames := place.frames + 1;
    if first = '1' then
      place.series := place.series + 1;
      place.step   := 0;
    else
      place.step := place.step + 1;
    end if;
  end procedure;

  function image(place : place_t) return string is
  begin
    return "step " & integer'image(place.step) & ", sequence " & integer'image(place.series);
  end function;

  -- The first overflow of a layer.
  type overflow_t is record
    found  : boolean;
    place  : place_t;
    neuron : natural;
    value  : integer;
  end record;
  constant NONE : overflow_t := (found => false, place => START, neuron => 0, value => 0);

  type places_t is array (0 to LAYERS - 1) of place_t;
  type overflows_t is array (0 to LAYERS - 1) of overflow_t;
  type sums_t is array (0 to CLASSES - 1) of integer;

begin

  follow : process (clk)
    variable places   : places_t    := (others => START);
    variable overflow : overflows_t := (others => NONE);
    variable ended    : natural     := 0;  -- frames that are counted
    variable exact    : sums_t      := (others => 0);
    variable above    : natural;  -- the first bit above a neuron's
    variable width    : natural;
    variable value    : integer;
  begin
    if rising_edge(clk) then
      -- The read-out first: in the clock in which a frame is counted it may take the next one in.
      if counted = '1' then
        ended := ended + 1;
        for l in 0 to LAYERS - 1 loop
          assert not (overflow(l).found and overflow(l).place.frames = ended)
            report "overflow: layer " & integer'image(l) & ", neuron "
                   & integer'image(overflow(l).neuron) & ", " & image(overflow(l).place) & ": I = "
                   & integer'image(overflow(l).value) & " is beyond +-"
                   & integer'image(MOST_CURRENT)
            severity failure;
        end loop;
        for c in 0 to CLASSES - 1 loop
          value := to_integer(
            signed(votes((c + 1) * ACCUMULATOR_BITS - 1 downto c * ACCUMULATOR_BITS)));
          assert value = exact(c)
            report "overflow: accumulator of class " & integer'image(c) & ", "
                   & image(places(LAYERS - 1)) & ": " & integer'image(exact(c))
                   & " does not fit into " & integer'image(ACCUMULATOR_BITS) & " bits"
            severity failure;
        end loop;
      end if;

      for l in 0 to LAYERS - 1 loop
        if watch_valid(l) = '1' then
          advance(places(l), firsts(l));
          width := CURRENT_BITS_OF(l) + 2 * STATE_BITS + 1;
          for k in 0 to NEURONS_OF(l) - 1 loop
            above := WATCH_FROM(l) + (k + 1) * width;
            value := to_integer(signed(watch(above - 1 downto above - CURRENT_BITS_OF(l))));
            if abs value > MOST_CURRENT and not overflow(l).found then
              overflow(l) := (found => true, place => places(l), neuron => k, value => value);
            end if;
          end loop;
        end if;
      end loop;

      -- What accumulators should hold. Sums within a frame may wrap, and come back.
      if watch_valid(LAYERS - 1) = '1' then
        if firsts(LAYERS - 1) = '1' then
          exact := (others => 0);
        end if;
        for j in 0 to NEURONS_OF(LAYERS - 1) - 1 loop
          if watch(WATCH_FROM(LAYERS - 1) + j * width) = '1' then
            for c in 0 to CLASSES - 1 loop
              exact(c) := exact(c) - 1;
            end loop;
            exact(j mod CLASSES) := exact(j mod CLASSES) + 11;
          end if;
        end loop;
      end if;

      if rst = '1' then
        places   := (others => START);
        overflow := (others => NONE);
        ended    := 0;
      end if;
    end if;
  end process;

end architecture;
