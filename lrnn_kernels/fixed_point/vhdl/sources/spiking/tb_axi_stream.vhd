-- Self-checking test bench of src_axi_stream: sends the frames of DATA/frames.txt, and compares
-- every state of every neuron, the accumulators and the classes with what the golden model said.
-- Ends with a line that begins with PASS, or with an error.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use std.textio.all;
use work.src_package.all;
use work.tb_package.all;
use work.network_package.all;

entity tb_axi_stream is
  generic (
    DATA   : string  := "data";
    STALLS : boolean := false  -- pauses on both sides
  );
end entity;

architecture simulation of tb_axi_stream is

  constant PADDED : positive := (INPUTS + 3) / 4 * 4;  -- frames are written in hexadecimal
  constant BEATS  : positive := (INPUTS + 31) / 32;
  constant STUCK  : positive := 20 * (INPUTS + 100);

  signal clk          : std_logic := '0';
  signal resetn       : std_logic := '0';
  signal in_data      : std_logic_vector(31 downto 0) := (others => '0');
  signal in_valid     : std_logic := '0';
  signal in_ready     : std_logic;
  signal in_last      : std_logic := '0';
  signal out_data     : std_logic_vector(31 downto 0);
  signal out_valid    : std_logic;
  signal out_ready    : std_logic := '0';
  signal out_last     : std_logic;
  signal counted      : std_logic;
  signal votes        : std_logic_vector(CLASSES * ACCUMULATOR_BITS - 1 downto 0);
  signal watch_valid  : std_logic_vector(LAYERS - 1 downto 0);
  signal watch        : std_logic_vector(WATCH_BITS - 1 downto 0);

  type counts_t is array (0 to LAYERS) of natural;  -- the last for the accumulators
  signal compared : counts_t;
  signal wrong    : counts_t;

  signal sent_all : boolean := false;
  signal frames   : natural := 0;
  signal spent    : natural := 0;  -- clocks from the first accepted frame to the last
  signal longest  : natural := 0;

begin

  clk <= not clk after 5 ns;
  resetn <= '1' after 42 ns;

  dut : entity work.src_axi_stream
    port map (
      aclk          => clk,
      aresetn       => resetn,
      s_axis_tdata  => in_data,
      s_axis_tvalid => in_valid,
      s_axis_tready => in_ready,
      s_axis_tlast  => in_last,
      m_axis_tdata  => out_data,
      m_axis_tvalid => out_valid,
      m_axis_tready => out_ready,
      m_axis_tlast  => out_last,
      votes         => votes,
      counted       => counted,
      watch_valid   => watch_valid,
      watch         => watch
    );

  send : process
    file source         : text open read_mode is DATA & "/frames.txt";
    variable row        : line;
    variable first      : bit;
    variable last       : bit;
    variable spikes     : std_logic_vector(PADDED - 1 downto 0);
    variable packed     : std_logic_vector(BEATS * 32 - 1 downto 0);
    variable random     : unsigned(15 downto 0) := x"ACE1";
    variable clock      : natural := 0;
    variable started    : natural := 0;
    variable previous   : natural := 0;
  begin
    wait until rising_edge(clk) and resetn = '1';
    while not endfile(source) loop
      readline(source, row);
      read(row, first);
      read(row, last);
      hread(row, spikes);
      packed                      := (others => '0');
      packed(INPUTS - 1 downto 0) := spikes(INPUTS - 1 downto 0);
      for beat in 0 to BEATS - 1 loop
        if STALLS then
          advance(random);
          in_valid <= '0';
          for pause in 1 to to_integer(random(1 downto 0)) loop
            wait until rising_edge(clk);
          end loop;
        end if;
        in_valid <= '1';
        in_data  <= packed(beat * 32 + 31 downto beat * 32);
        in_last  <= to_stdulogic(last) when beat = BEATS - 1 else '0';
        loop
          wait until rising_edge(clk);
          exit when in_ready = '1';
        end loop;
      end loop;
      clock := now / 10 ns;
      if frames = 0 then
        started := clock;
      elsif clock - previous > longest then
        longest <= clock - previous;
      end if;
      previous := clock;
      spent    <= clock - started;
      frames   <= frames + 1;
    end loop;
    in_valid <= '0';
    sent_all <= true;
    wait;
  end process;

  states : for l in 0 to LAYERS - 1 generate
    check : entity work.tb_check_values
      generic map (
        FILE_NAME => DATA & "/states_" & integer'image(l) & ".txt",
        WHAT      => "layer " & integer'image(l) & ", neuron",
        NAMES     => "I h h_s spike",
        COUNT     => NEURONS_OF(l),
        WIDTHS    => (CURRENT_BITS_OF(l), STATE_BITS, STATE_BITS, 1),
        BITS      => CURRENT_BITS_OF(l) + 2 * STATE_BITS + 1
      )
      port map (
        clk      => clk,
        valid    => watch_valid(l),
        watch    => watch(WATCH_FROM(l + 1) - 1 downto WATCH_FROM(l)),
        compared => compared(l),
        wrong    => wrong(l)
      );
  end generate;

  read_out : entity work.tb_check_values
    generic map (
      FILE_NAME => DATA & "/votes.txt",
      WHAT      => "class",
      NAMES     => "accumulator",
      COUNT     => CLASSES,
      WIDTHS    => (0 => ACCUMULATOR_BITS),
      BITS      => ACCUMULATOR_BITS
    )
    port map (
      clk      => clk,
      valid    => counted,
      watch    => votes,
      compared => compared(LAYERS),
      wrong    => wrong(LAYERS)
    );

  receive : process
    file golden       : text open read_mode is DATA & "/results.txt";
    variable row      : line;
    variable expected : integer;
    variable results  : natural := 0;
    variable failed   : natural := 0;
    variable values   : natural := 0;
    variable patience : natural;
    variable random   : unsigned(15 downto 0) := x"1D0D";
  begin
    while not endfile(golden) loop
      readline(golden, row);
      read(row, expected);
      for beat in 0 to CLASSES loop
        if STALLS then
          advance(random);
          out_ready <= '0';
          for pause in 1 to to_integer(random(3 downto 0)) loop
            wait until rising_edge(clk);
          end loop;
        end if;
        out_ready <= '1';
        patience  := 0;
        loop
          wait until rising_edge(clk);
          exit when out_valid = '1';
          patience := 0 when counted = '1' else patience + 1;
          assert patience < LAYERS * STUCK
            report "stuck: no frame was counted in " & integer'image(patience) & " clocks"
            severity failure;
        end loop;
        -- The class, and then the accumulators, which read_out has compared.
        if beat > 0 then
          expected := to_integer(
            signed(votes(beat * ACCUMULATOR_BITS - 1 downto (beat - 1) * ACCUMULATOR_BITS)));
        end if;
        if to_integer(signed(out_data)) /= expected or (out_last = '1') /= (beat = CLASSES) then
          failed := failed + 1;
          report "result " & integer'image(results) & ", beat " & integer'image(beat) & " is "
                 & integer'image(to_integer(signed(out_data))) & ", expected "
                 & integer'image(expected) & ", and last with the last one"
            severity error;
        end if;
      end loop;
      results := results + 1;
    end loop;
    out_ready <= '0';
    wait until rising_edge(clk);
    wait until rising_edge(clk);
    for l in 0 to LAYERS loop
      values := values + compared(l);
      failed := failed + wrong(l);
    end loop;
    conclude(failed, sent_all, frames, values, results, spent, longest);
    wait;
  end process;

end architecture;
