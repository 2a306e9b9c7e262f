-- Constants and widths that the entities of spiking recurrent cells share. Fixed point: 1.0 is 1024.
library ieee;
use ieee.std_logic_1164.all;

package src_package is

  constant CLASSES : positive := 10;

  -- Clocks that a neuron takes to fire, once its inputs are added up; see src_neuron.
  constant PHASES : positive := 6;
  subtype phase_t is std_logic_vector(PHASES - 1 downto 0);  -- one-hot

  -- |I| beyond this is an error of the network: see src_limits.
  constant MOST_CURRENT : positive := 30000;

  constant STATE_BITS : positive := 11;  -- h and h_s, -1024 .. 1023

end package;
