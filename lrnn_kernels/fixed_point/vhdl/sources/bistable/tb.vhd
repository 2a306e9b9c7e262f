-- Self-checking test bench of hysteresis_network: sends the frames of DATA/frames.txt, and compares
-- u and the state of every unit, and every result, with what the golden model said. Ends with a
-- line that begins with PASS, or with an error.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use std.textio.all;
use work.tb_package.all;
use work.network_package.all;

entity tb is
  generic (
    DATA   : string  := "data";
    STALLS : boolean := false  -- pauses on both sides
  );
end entity;

architecture simulation of tb is

  -- Frames and results are written in hexadecimal.
  constant FRAME_DIGITS  : positive := (FRAME_BITS + 3) / 4;
  constant RESULT_DIGITS : positive := (RESULT_BITS + 3) / 4;
  constant STUCK         : positive := 20 * (FRAME_BITS + 100) * (LAYERS + 1);

  signal clk          : std_logic := '0';
  signal rst          : std_logic := '1';
  signal frame_valid  : std_logic := '0';
  signal frame_ready  : std_logic;
  signal frame_first  : std_logic := '0';
  signal frame_last   : std_logic := '0';
  signal frame        : std_logic_vector(FRAME_BITS - 1 downto 0) := (others => '0');
  signal result_valid : std_logic;
  signal result_ready : std_logic := '0';
  signal result_last  : std_logic;
  signal result       : std_logic_vector(RESULT_BITS - 1 downto 0);
  signal watch_valid  : std_logic_vector(LAYERS - 1 downto 0);
  signal watch        : std_logic_vector(WATCH_BITS - 1 downto 0);

  type counts_t is array (0 to LAYERS - 1) of natural;
  signal compared : counts_t;
  signal wrong    : counts_t;

  signal sent_all : boolean := false;
  signal frames   : natural := 0;
  signal spent    : natural := 0;  -- clocks from the first accepted frame to the last
  signal longest  : natural := 0;

begin

  clk <= not clk after 5 ns;
  rst <= '0' after 42 ns;

  dut : entity work.hysteresis_network
    port map (
      clk          => clk,
      rst          => rst,
      frame_valid  => frame_valid,
      frame_ready  => frame_ready,
      frame_first  => frame_first,
      frame_last   => frame_last,
      frame        => frame,
      result_valid => result_valid,
      result_ready => result_ready,
      result_last  => result_last,
      result       => result,
      watch_valid  => watch_valid,
      watch        => watch
    );

  send : process
    file source       : text open read_mode is DATA & "/frames.txt";
    variable row      : line;
    variable first    : bit;
    variable last     : bit;
    variable inputs   : std_logic_vector(4 * FRAME_DIGITS - 1 downto 0);
    variable random   : unsigned(15 downto 0) := x"ACE1";
    variable clock    : natural := 0;
    variable started  : natural := 0;
    variable previous : natural := 0;
  begin
    wait until rising_edge(clk) and rst = '0';
    while not endfile(source) loop
      readline(source, row);
      read(row, first);
      read(row, last);
      hread(row, inputs);
      if STALLS then
        advance(random);
        frame_valid <= '0';
        for pause in 1 to to_integer(random(4 downto 0)) loop
          wait until rising_edge(clk);
        end loop;
      end if;
      frame_valid <= '1';
      frame_first <= to_stdulogic(first);
      frame_last  <= to_stdulogic(last);
      frame       <= inputs(FRAME_BITS - 1 downto 0);
      loop
        wait until rising_edge(clk);
        exit when frame_ready = '1';
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
    frame_valid <= '0';
    sent_all    <= true;
    wait;
  end process;

  states : for l in 0 to LAYERS - 1 generate
    check : entity work.tb_check_values
      generic map (
        FILE_NAME => DATA & "/states_" & integer'image(l) & ".txt",
        WHAT      => "layer " & integer'image(l) & ", unit",
        NAMES     => "u state",
        COUNT     => UNITS_OF(l),
        WIDTHS    => (SUM_BITS_OF(l), 1),
        BITS      => SUM_BITS_OF(l) + 1
      )
      port map (
        clk      => clk,
        valid    => watch_valid(l),
        watch    => watch(WATCH_FROM(l + 1) - 1 downto WATCH_FROM(l)),
        compared => compared(l),
        wrong    => wrong(l)
      );
  end generate;

  receive : process
    file golden       : text open read_mode is DATA & "/results.txt";
    variable row      : line;
    variable last     : bit;
    variable expected : std_logic_vector(4 * RESULT_DIGITS - 1 downto 0);
    variable results  : natural := 0;
    variable failed   : natural := 0;
    variable values   : natural := 0;
    variable patience : natural;
    variable random   : unsigned(15 downto 0) := x"1D0D";
  begin
    while not endfile(golden) loop
      readline(golden, row);
      read(row, last);
      hread(row, expected);
      if STALLS then
        advance(random);
        result_ready <= '0';
        for pause in 1 to 4 * to_integer(random(3 downto 0)) loop
          wait until rising_edge(clk);
        end loop;
      end if;
      result_ready <= '1';
      patience     := 0;
      loop
        wait until rising_edge(clk);
        exit when result_valid = '1';
        patience := patience + 1;
        assert patience < STUCK
          report "stuck: no result in " & integer'image(patience) & " clocks" severity failure;
      end loop;
      if result /= expected(RESULT_BITS - 1 downto 0) or result_last /= to_stdulogic(last) then
        failed := failed + 1;
        assert failed > 10
          report "result " & integer'image(results) & " is " & to_hstring(result) & ", last "
                 & to_string(result_last) & ", expected "
                 & to_hstring(expected(RESULT_BITS - 1 downto 0)) & ", " & to_string(last)
          severity error;
      end if;
      results := results + 1;
    end loop;
    result_ready <= '0';
    wait until rising_edge(clk);
    wait until rising_edge(clk);
    for l in 0 to LAYERS - 1 loop
      values := values + compared(l);
      failed := failed + wrong(l);
    end loop;
    conclude(failed, sent_all, frames, values, results, spent, longest);
    wait;
  end process;

end architecture;
