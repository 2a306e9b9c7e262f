-- One spiking recurrent cell (SRC) in integers. 1.0 is 1024, shifts are arithmetic (they round
-- down).
--
--     I    <- I - ((I>>4) + (I>>5)) + sum of the weights of the inputs that spike
--     X     = +1023 if I > 0 else -1024
--     u     = X + 2 (h - 4 h_s - 3000)
--     h    <- clip((3u) >> 2, -1024, 1023)
--     h_s  <- clip(h + (((h_s - h) z) >> 10), -800, 1023),  z = 900 if h < 500 else 100
--     spike = h >= 512
--
-- h_s uses the old h and the old h_s. A frame is: one clock of clear or leak, any number of clocks
-- of add, and then the six phases, one clock each. There is no multiplier: z/4 is 25 = 5*5 or
-- 225 = 5*5*9, and x5 and x9 are one addition each, on an adder that all phases share.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use work.src_package.all;

entity src_neuron is
  generic (
    CURRENT_BITS : positive;  -- of I; wide enough for every partial sum
    ADDEND_BITS  : positive   -- of what is added to it in one clock
  );
  port (
    clk     : in  std_logic;
    clear   : in  std_logic;  -- all states to 0: a new sequence begins
    leak    : in  std_logic;  -- I <- I - ((I>>4) + (I>>5))
    add     : in  std_logic;  -- I <- I + addend
    addend  : in  signed(ADDEND_BITS - 1 downto 0);
    phase   : in  phase_t;
    current : out signed(CURRENT_BITS - 1 downto 0);  -- I
    h       : out signed(STATE_BITS - 1 downto 0);
    h_s     : out signed(STATE_BITS - 1 downto 0);
    spike   : out std_logic
  );
end entity;

architecture rtl of src_neuron is

  constant V_BITS   : positive := 15;  -- -8628 .. 1734
  constant ACC_BITS : positive := 20;  -- 225 (h_s - h) + 256 h

  signal i_reg  : signed(CURRENT_BITS - 1 downto 0) := (others => '0');
  signal h_reg  : signed(STATE_BITS - 1 downto 0)   := (others => '0');
  signal hs_reg : signed(STATE_BITS - 1 downto 0)   := (others => '0');

  signal excited : std_logic;  -- I > 0
  signal v       : signed(V_BITS - 1 downto 0)   := (others => '0');  -- (u - excited) / 2
  signal acc     : signed(ACC_BITS - 1 downto 0) := (others => '0');  -- of the new h_s

begin

  current <= i_reg;
  h       <= h_reg;
  h_s     <= hs_reg;
  spike   <= '1' when h_reg(STATE_BITS - 1 downto STATE_BITS - 2) = "01" else '0';  -- h >= 512

  excited <= '1' when i_reg > 0 else '0';

  -- The current: one adder. Its lowest bit brings the carry in that makes "not x" into "-x".
  integrate : process (clk)
    variable leaked  : signed(CURRENT_BITS - 1 downto 0);
    variable operand : signed(CURRENT_BITS - 1 downto 0);
    variable sum     : signed(CURRENT_BITS downto 0);
  begin
    if rising_edge(clk) then
      if clear = '1' then
        i_reg <= (others => '0');
      elsif leak = '1' or add = '1' then
        leaked  := shift_right(i_reg, 4) + shift_right(i_reg, 5);
        operand := not leaked when leak = '1' else resize(addend, CURRENT_BITS);
        sum     := (i_reg & '1') + (operand & leak);
        i_reg   <= sum(CURRENT_BITS downto 1);
      end if;
    end if;
  end process;

  -- h, in two clocks: v in phase 0, from the old h and h_s, and what follows from it in phase 5.
  -- With e = 1 if I > 0 else 0, X - 6000 = 2 c + e, c = -2489 or -3512: u = 2 v + e,
  -- v = h - 4 h_s + c, and (3u) >> 2 = (3v + e) >> 1.
  membrane : process (clk)
    variable drive  : signed(V_BITS - 1 downto 0);
    variable h_wide : signed(V_BITS - 1 downto 0);
    variable sum    : signed(V_BITS + 1 downto 0);
  begin
    if rising_edge(clk) then
      if phase(0) = '1' then
        drive := to_signed(-2489, V_BITS) when excited = '1' else to_signed(-3512, V_BITS);
        v     <= resize(h_reg, V_BITS) - shift_left(resize(hs_reg, V_BITS), 2) + drive;
      end if;
      if clear = '1' then
        h_reg <= (others => '0');
      elsif phase(5) = '1' then
        sum    := (resize(v, V_BITS + 1) & '1') + (v & '0' & excited);
        h_wide := sum(V_BITS + 1 downto 2);  -- (3 v + e) >> 1
        if h_wide(V_BITS - 1) = '0' and h_wide(V_BITS - 2 downto STATE_BITS - 1) /= 0 then
          h_reg <= to_signed(1023, STATE_BITS);
        elsif h_wide(V_BITS - 1) = '1' and (not h_wide(V_BITS - 2 downto STATE_BITS - 1)) /= 0 then
          h_reg <= to_signed(-1024, STATE_BITS);
        else
          h_reg <= h_wide(STATE_BITS - 1 downto 0);
        end if;
      end if;
    end if;
  end process;

  -- h_s: acc = h_s - h, x5, x5, x9 if h < 500, + 256 h; then h_s <- acc >> 8. That lies between h
  -- and h_s, so that 1023 is never exceeded, and only -800 is left to clip. acc starts and ends at 0,
  -- so that the difference comes in by the same adder.
  recovery : process (clk)
    variable operand : signed(ACC_BITS - 1 downto 0);
    variable fresh   : signed(STATE_BITS - 1 downto 0);
  begin
    if rising_edge(clk) then
      if clear = '1' or phase(5) = '1' then
        acc <= (others => '0');
      elsif (phase(0) or phase(1) or phase(2) or phase(4)) = '1'
        or (phase(3) = '1' and h_reg < 500) then
        if phase(0) = '1' then
          operand := resize(hs_reg, ACC_BITS) - resize(h_reg, ACC_BITS);
        elsif phase(3) = '1' then
          operand := shift_left(acc, 3);
        elsif phase(4) = '1' then
          operand := shift_left(resize(h_reg, ACC_BITS), 8);
        else
          operand := shift_left(acc, 2);
        end if;
        acc <= acc + operand;
      end if;
      if clear = '1' then
        hs_reg <= (others => '0');
      elsif phase(5) = '1' then
        fresh := acc(STATE_BITS + 7 downto 8);
        if fresh < -800 then
          hs_reg <= to_signed(-800, STATE_BITS);
        else
          hs_reg <= fresh;
        end if;
      end if;
    end if;
  end process;

end architecture;
