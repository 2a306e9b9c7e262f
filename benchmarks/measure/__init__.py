"""What measures and prints: time, copies, the bytes that must move, the machine, tables and
files."""
