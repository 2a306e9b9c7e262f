-- A layer of spiking recurrent cells. A frame is one step: a bit for each input that spikes.
--
-- All neurons work in parallel, on the input, or the LANES inputs, that the walk visits. The
-- weights lie outside: rom_word is what is stored at the rom_address of the clock before, the
-- weight from lane j to neuron k in bits ((k LANES + j) WEIGHT_BITS) and up.
--
-- Clocks from one accepted frame to the next, at the earliest:
--     LANES = 1             INPUTS + 10
--     LANES = 8             ceil(INPUTS / 8) + 11
--     EVENTS, LANES = 1     inputs that spike + 12
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use work.bits_package.all;
use work.src_package.all;

entity src_layer is
  generic (
    INPUTS       : positive;
    NEURONS      : positive;
    LANES        : positive;
    EVENTS       : boolean;  -- visit only inputs that spike
    WEIGHT_BITS  : positive;
    ADDEND_BITS  : positive;  -- of what is added to a current in one clock
    CURRENT_BITS : positive   -- see src_neuron
  );
  port (
    clk         : in  std_logic;
    rst         : in  std_logic;  -- synchronous
    -- Frames in: accepted in a clock in which in_valid and in_ready are both '1'.
    in_valid    : in  std_logic;
    in_ready    : out std_logic;
    in_first    : in  std_logic;  -- first of a sequence: states start at 0
    in_last     : in  std_logic;  -- last of a sequence: handed on
    in_spikes   : in  std_logic_vector(INPUTS - 1 downto 0);
    -- Frames out, for the next layer or the read-out.
    out_valid   : out std_logic;
    out_ready   : in  std_logic;
    out_first   : out std_logic;
    out_last    : out std_logic;
    out_spikes  : out std_logic_vector(NEURONS - 1 downto 0);
    -- The weights.
    rom_address : out unsigned(bits_for((INPUTS + LANES - 1) / LANES) - 1 downto 0)
                  := (others => '0');
    rom_word    : in  std_logic_vector(NEURONS * LANES * WEIGHT_BITS - 1 downto 0);
    -- For test benches; valid with out_valid, and left open it costs nothing. For each neuron, from
    -- neuron 0 at the right, I & h & h_s & spike.
    watch       : out std_logic_vector(NEURONS * (CURRENT_BITS + 2 * STATE_BITS + 1) - 1 downto 0)
  );
end entity;

architecture rtl of src_layer is

  constant WATCHED : positive := CURRENT_BITS + 2 * STATE_BITS + 1;

  type addends_t is array (0 to NEURONS - 1) of signed(ADDEND_BITS - 1 downto 0);

  -- The frame in work.
  signal frame  : std_logic_vector(INPUTS - 1 downto 0) := (others => '0');
  signal first  : std_logic := '0';
  signal last   : std_logic := '0';
  signal accept : std_logic;
  signal busy   : std_logic := '0';
  signal ended  : std_logic := '0';  -- the neurons have fired

  -- What the walk visits, a clock later with rom_address, and another with rom_word.
  signal address : unsigned(rom_address'range);
  signal mask    : std_logic_vector(LANES - 1 downto 0);
  signal mask_1  : std_logic_vector(LANES - 1 downto 0) := (others => '0');
  signal mask_2  : std_logic_vector(LANES - 1 downto 0) := (others => '0');
  signal done    : std_logic;
  signal done_1  : std_logic := '0';
  signal done_2  : std_logic := '0';

  -- What the neurons do.
  signal begins  : std_logic := '0';
  signal clear   : std_logic;
  signal leak    : std_logic;
  signal add     : std_logic;
  signal addends : addends_t;
  signal fires   : std_logic;  -- the last addend is being added
  signal phase   : phase_t := (others => '0');

begin

  in_ready  <= not busy;
  accept    <= in_valid and not busy;
  out_valid <= ended;
  out_first <= first;
  out_last  <= last;
  clear     <= begins and first;
  leak      <= begins and not first;

  control : process (clk)
  begin
    if rising_edge(clk) then
      if accept = '1' then
        frame <= in_spikes;
        first <= in_first;
        last  <= in_last;
        busy  <= '1';
      end if;
      begins      <= accept;
      rom_address <= address;
      mask_1      <= mask;
      mask_2      <= mask_1;
      done_1      <= done;
      done_2      <= done_1;
      phase       <= phase(PHASES - 2 downto 0) & fires;
      if phase(PHASES - 1) = '1' then
        ended <= '1';
      elsif ended = '1' and out_ready = '1' then
        ended <= '0';
        busy  <= '0';
      end if;
      if rst = '1' then
        busy   <= '0';
        ended  <= '0';
        begins <= '0';
        mask_1 <= (others => '0');
        mask_2 <= (others => '0');
        done_1 <= '0';
        done_2 <= '0';
        phase  <= (others => '0');
      end if;
    end if;
  end process;

  events_walk : if EVENTS generate
    walk : entity work.walk_events
      generic map (INPUTS => INPUTS)
      port map (
        clk => clk, rst => rst, start => accept, frame => frame,
        address => address, mask => mask, done => done
      );
  end generate;

  all_walk : if not EVENTS generate
    walk : entity work.walk_all
      generic map (INPUTS => INPUTS, LANES => LANES)
      port map (
        clk => clk, rst => rst, start => accept, frame => frame,
        address => address, mask => mask, done => done
      );
  end generate;

  one_lane : if LANES = 1 generate
    add   <= mask_2(0);
    fires <= done_2;
    weights : for k in 0 to NEURONS - 1 generate
      addends(k) <= signed(rom_word((k + 1) * WEIGHT_BITS - 1 downto k * WEIGHT_BITS));
    end generate;
  end generate;

  more_lanes : if LANES > 1 generate
    signal any_q  : std_logic := '0';
    signal last_q : std_logic := '0';
  begin
    add   <= any_q;
    fires <= last_q;

    control_sum : process (clk)
    begin
      if rising_edge(clk) then
        any_q  <= or mask_2;
        last_q <= done_2;
        if rst = '1' then
          any_q  <= '0';
          last_q <= '0';
        end if;
      end if;
    end process;

    sums : for k in 0 to NEURONS - 1 generate
      sum : entity work.masked_sum
        generic map (LANES => LANES, WEIGHT_BITS => WEIGHT_BITS, SUM_BITS => ADDEND_BITS)
        port map (
          clk     => clk,
          mask    => mask_2,
          weights => rom_word((k + 1) * LANES * WEIGHT_BITS - 1 downto k * LANES * WEIGHT_BITS),
          sum     => addends(k)
        );
    end generate;
  end generate;

  cells : for k in 0 to NEURONS - 1 generate
    signal current : signed(CURRENT_BITS - 1 downto 0);
    signal h, h_s  : signed(STATE_BITS - 1 downto 0);
    signal spike   : std_logic;
  begin
    neuron : entity work.src_neuron
      generic map (CURRENT_BITS => CURRENT_BITS, ADDEND_BITS => ADDEND_BITS)
      port map (
        clk     => clk,
        clear   => clear,
        leak    => leak,
        add     => add,
        addend  => addends(k),
        phase   => phase,
        current => current,
        h       => h,
        h_s     => h_s,
        spike   => spike
      );

    out_spikes(k) <= spike;
    watch((k + 1) * WATCHED - 1 downto k * WATCHED)
      <= std_logic_vector(current) & std_logic_vector(h) & std_logic_vector(h_s) & spike;
  end generate;

end architecture;
