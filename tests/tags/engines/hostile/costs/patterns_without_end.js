const long = 'x'.repeat(3000000);
for (;;) {
  try { long.search(long); } catch (error) {}
}
