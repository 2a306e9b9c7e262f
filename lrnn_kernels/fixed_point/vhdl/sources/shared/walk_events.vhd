-- Visits those inputs of a layer that spike, one in a clock: an address encoder in two levels.
-- A flag for each word of 32 inputs says whether anything in it spikes; the lowest flagged word is
-- fetched while the last spike of the one before is visited. n spikes take n + 2 clocks, none 2.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use work.bits_package.all;

entity walk_events is
  generic (
    INPUTS : positive
  );
  port (
    clk     : in  std_logic;
    rst     : in  std_logic;
    start   : in  std_logic;  -- frame is valid from the next clock on, until done
    frame   : in  std_logic_vector(INPUTS - 1 downto 0);
    address : out unsigned(bits_for(INPUTS) - 1 downto 0);
    mask    : out std_logic_vector(0 downto 0);  -- whether there is a spike at address
    done    : out std_logic  -- this clock's is the last
  );
end entity;

architecture rtl of walk_events is

  constant WORD  : positive := 32;
  constant WORDS : positive := (INPUTS + WORD - 1) / WORD;

  subtype word_t is std_logic_vector(WORD - 1 downto 0);
  type words_t is array (0 to WORDS - 1) of word_t;

  signal in_words : words_t;
  signal started  : std_logic := '0';
  signal running  : std_logic := '0';
  signal flags    : std_logic_vector(WORDS - 1 downto 0) := (others => '0');
  signal spikes   : word_t := (others => '0');  -- of the word that is visited, those that are left
  signal which    : unsigned(bits_for(WORDS) - 1 downto 0) := (others => '0');  -- this word
  signal lowest   : word_t;
  signal left     : word_t;

begin

  split : process (frame)
    variable padded : std_logic_vector(WORDS * WORD - 1 downto 0);
  begin
    padded                      := (others => '0');
    padded(INPUTS - 1 downto 0) := frame;
    for w in 0 to WORDS - 1 loop
      in_words(w) <= padded(w * WORD + WORD - 1 downto w * WORD);
    end loop;
  end process;

  lowest  <= lowest_one(spikes);
  left    <= spikes and not lowest;
  mask(0) <= or spikes;
  address <= resize(which & encode(lowest, bits_for(WORD)), address'length);
  done    <= running and not (or left) and not (or flags);

  step : process (clk)
    variable next_flag : std_logic_vector(flags'range);
    variable fetched   : word_t;
  begin
    if rising_edge(clk) then
      next_flag := lowest_one(flags);
      fetched   := (others => '0');
      for w in 0 to WORDS - 1 loop
        if next_flag(w) = '1' then
          fetched := fetched or in_words(w);
        end if;
      end loop;
      started <= start;
      if started = '1' then
        for w in 0 to WORDS - 1 loop
          flags(w) <= or in_words(w);
        end loop;
        running <= '1';
      elsif (or left) = '0' then
        spikes  <= fetched;
        which   <= encode(next_flag, which'length);
        flags   <= flags and not next_flag;
        running <= running and (or flags);
      else
        spikes <= left;
      end if;
      if rst = '1' then
        started <= '0';
        running <= '0';
        spikes  <= (others => '0');
        flags   <= (others => '0');
      end if;
    end if;
  end process;

end architecture;
