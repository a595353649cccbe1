const long = 'x'.repeat(3000000);
const other = 'x'.repeat(3000000);
for (;;) long.endsWith(other);
