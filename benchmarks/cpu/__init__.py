"""Throughput on the CPU, beside a copy of the same bytes and other implementations."""
