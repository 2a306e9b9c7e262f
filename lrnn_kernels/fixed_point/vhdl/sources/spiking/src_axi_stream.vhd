-- The network between two AXI4-Streams of 32 bits.
--
-- In: a frame is ceil(INPUTS / 32) beats, input 0 in bit 0 of the first; bits beyond the last input
-- are ignored. s_axis_tlast marks the last beat of the last frame of a sequence. The next frame is
-- taken in while the network works on the one before.
-- Out: a packet of eleven beats for each sequence, the class, and then the ten accumulators, signed.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use work.bits_package.all;
use work.src_package.all;
use work.network_package.all;

entity src_axi_stream is
  port (
    aclk          : in  std_logic;
    aresetn       : in  std_logic;  -- synchronous
    s_axis_tdata  : in  std_logic_vector(31 downto 0);
    s_axis_tvalid : in  std_logic;
    s_axis_tready : out std_logic;
    s_axis_tlast  : in  std_logic;
    m_axis_tdata  : out std_logic_vector(31 downto 0);
    m_axis_tvalid : out std_logic;
    m_axis_tready : in  std_logic;
    m_axis_tlast  : out std_logic;
    -- For test benches; left open they cost nothing. See src_network.
    counted       : out std_logic;
    votes         : out std_logic_vector(CLASSES * ACCUMULATOR_BITS - 1 downto 0);
    watch_valid   : out std_logic_vector(LAYERS - 1 downto 0);
    watch         : out std_logic_vector(WATCH_BITS - 1 downto 0)
  );
end entity;

architecture rtl of src_axi_stream is

  constant BEATS : positive := (INPUTS + 31) / 32;

  signal rst          : std_logic;
  signal loaded       : std_logic_vector(BEATS * 32 - 1 downto 0) := (others => '0');
  signal beat         : unsigned(bits_for(BEATS) - 1 downto 0) := (others => '0');
  signal full         : std_logic := '0';
  signal first        : std_logic := '1';
  signal last         : std_logic := '0';
  signal frame_ready  : std_logic;
  signal result_valid : std_logic;
  signal result_ready : std_logic;
  signal result_class : unsigned(3 downto 0);
  signal sent         : unsigned(3 downto 0) := (others => '0');

begin

  rst           <= not aresetn;
  s_axis_tready <= not full;

  load : process (aclk)
  begin
    if rising_edge(aclk) then
      if s_axis_tvalid = '1' and full = '0' then
        -- Beats move down, so that the first comes to lie at the right.
        for b in 0 to BEATS - 2 loop
          loaded(b * 32 + 31 downto b * 32) <= loaded(b * 32 + 63 downto b * 32 + 32);
        end loop;
        loaded(BEATS * 32 - 1 downto BEATS * 32 - 32) <= s_axis_tdata;
        beat   <= beat + 1;
        if beat = BEATS - 1 then
          beat <= (others => '0');
          full <= '1';
          last <= s_axis_tlast;
        end if;
      elsif full = '1' and frame_ready = '1' then
        full  <= '0';
        first <= last;
      end if;
      if rst = '1' then
        beat  <= (others => '0');
        full  <= '0';
        first <= '1';
      end if;
    end if;
  end process;

  network : entity work.src_network
    port map (
      clk          => aclk,
      rst          => rst,
      frame_valid  => full,
      frame_ready  => frame_ready,
      frame_first  => first,
      frame_last   => last,
      frame        => loaded(INPUTS - 1 downto 0),
      result_valid => result_valid,
      result_ready => result_ready,
      result_class => result_class,
      votes        => votes,
      counted      => counted,
      watch_valid  => watch_valid,
      watch        => watch
    );

  m_axis_tvalid <= result_valid;
  m_axis_tlast  <= '1' when sent = CLASSES else '0';
  result_ready  <= '1' when m_axis_tready = '1' and sent = CLASSES else '0';

  choose : process (sent, result_class, votes)
  begin
    m_axis_tdata <= std_logic_vector(resize(result_class, 32));
    for c in 0 to CLASSES - 1 loop
      if sent = c + 1 then
        m_axis_tdata <= std_logic_vector(
          resize(signed(votes((c + 1) * ACCUMULATOR_BITS - 1 downto c * ACCUMULATOR_BITS)), 32)
        );
      end if;
    end loop;
  end process;

  send : process (aclk)
  begin
    if rising_edge(aclk) then
      if result_valid = '1' and m_axis_tready = '1' then
        sent <= sent + 1;
        if sent = CLASSES then
          sent <= (others => '0');
        end if;
      end if;
      if rst = '1' then
        sent <= (others => '0');
      end if;
    end if;
  end process;

end architecture;
