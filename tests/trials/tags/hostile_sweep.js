// Memory is filled, blocks of each size to the last one: the engine keeps a list of those that are free
// for each, so that what is free of one size is no room for another. Then a few blocks are freed, which ones by
// chance, something is done with them, and they are filled again. None of this needs memory itself.
const slots = times(8000, () => 0);
let at = 0, chance = SEED, k = 0, left = 0, one = 0, done = 0;
const makers = [() => text(90000), () => text(2000)];
for (let size = 8; size < 560; size += size < 128 ? 8 : 32) makers.push(() => text(size));
makers.push(() => ({}), () => [1], () => () => 1, () => ({ x: 1, y: 2, z: 3 }), () => 0.5 + at + 'x');
const fill = () => { while (at < 8000) slots[at++] = makers[k](); };
const act = () => { ACT };
for (k = 0; k < makers.length; k++) try { fill(); } catch (e) {}
for (let i = 0; i < 300; i++) {
  for (left = i % 9; left > 0 && at > 0; left--) {
    chance = (chance * 48271) % 2147483647;
    one = (chance % at) | 0;
    slots[one] = slots[--at];
    slots[at] = 0;
  }
  try { act(); done++; } catch (e) {}
  for (k = 2; k < makers.length; k++) try { fill(); } catch (e) {}
}
while (at > 0) slots[--at] = 0;
