const one = 'x'.repeat(2000000) + 'a';
const other = 'x'.repeat(2000000) + 'b';
const all = [];
for (let i = 0; i < 100000; i++) all.push(i % 2 ? other : one);
all.sort();
