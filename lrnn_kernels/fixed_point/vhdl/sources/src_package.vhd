-- Constants and widths that all entities share. Fixed point: 1.0 is 1024.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;

package src_package is

  constant CLASSES : positive := 10;

  -- Clocks that a neuron takes to fire, once its inputs are added up; see src_neuron.
  constant PHASES : positive := 6;
  subtype phase_t is std_logic_vector(PHASES - 1 downto 0);  -- one-hot

  -- |I| beyond this is an error of the network: see the assertions in src_layer.
  constant MOST_CURRENT : positive := 30000;

  constant STATE_BITS : positive := 11;  -- h and h_s, -1024 .. 1023

  -- How many bits count from 0 to n - 1; at least one.
  function bits_for(n : positive) return positive;

  -- The lowest '1' alone. "-x" is one carry chain: short, where a chain of ifs is long.
  function lowest_one(x : std_logic_vector) return std_logic_vector;

  -- The index of the '1' in a one-hot vector; 0 where there is none.
  function encode(one_hot : std_logic_vector; bits : positive) return unsigned;

end package;

package body src_package is

  function bits_for(n : positive) return positive is
    variable bits : positive := 1;
  begin
    while 2 ** bits < n loop
      bits := bits + 1;
    end loop;
    return bits;
  end function;

  function lowest_one(x : std_logic_vector) return std_logic_vector is
  begin
    return x and std_logic_vector(unsigned(not x) + 1);
  end function;

  function encode(one_hot : std_logic_vector; bits : positive) return unsigned is
    variable index : unsigned(bits - 1 downto 0) := (others => '0');
  begin
    for i in one_hot'range loop
      if one_hot(i) = '1' then
        index := index or to_unsigned(i, bits);
      end if;
    end loop;
    return index;
  end function;

end package body;
