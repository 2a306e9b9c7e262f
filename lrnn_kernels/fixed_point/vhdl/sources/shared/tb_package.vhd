-- What test benches share.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use std.textio.all;

package tb_package is

  -- The next of a pseudo-random sequence, by which handshakes pause.
  procedure advance(variable random : inout unsigned(15 downto 0));

  -- Word i of a text, counted from 0: of "I h h_s spike", word 1 is "h".
  function word_of(text : string; i : natural) return string;

  -- Ends the simulation, with a line that begins with PASS, or with an error.
  procedure conclude(
    failed   : natural;  -- values and results that are not the golden model's
    sent_all : boolean;  -- no frames are left
    frames   : natural;
    values   : natural;
    results  : natural;
    spent    : natural;  -- clocks from the first accepted frame to the last
    longest  : natural   -- the most from one to the next
  );

end package;

package body tb_package is

  procedure advance(variable random : inout unsigned(15 downto 0)) is
  begin
    random := random(14 downto 0) & (random(15) xor random(13) xor random(12) xor random(10));
  end procedure;

  function word_of(text : string; i : natural) return string is
    variable from : positive := text'low;
    variable word : natural  := 0;
  begin
    for place in text'range loop
      if text(place) = ' ' then
        if word = i then
          return text(from to place - 1);
        end if;
        word := word + 1;
        from := place + 1;
      end if;
    end loop;
    return text(from to text'high);
  end function;

  procedure conclude(
    failed   : natural;
    sent_all : boolean;
    frames   : natural;
    values   : natural;
    results  : natural;
    spent    : natural;
    longest  : natural
  ) is
    variable row : line;
  begin
    assert failed = 0
      report "FAIL: " & integer'image(failed) & " values are not those of the golden model"
      severity failure;
    assert sent_all report "FAIL: frames are left" severity failure;
    write(row, "PASS: " & integer'image(frames) & " frames, " & integer'image(values)
          & " values and " & integer'image(results) & " results are those of the golden model; "
          & integer'image(spent) & " clocks from the first frame to the last, at most "
          & integer'image(longest) & " a frame");
    writeline(output, row);
    std.env.finish;
  end procedure;

end package body;
