// Each time memory runs out, after many milliseconds: in one call.
const held = [];
for (let at = 0; at < 300; at++) held.push('x'.repeat(90000));
const { read } = require('Firestore');
for (;;) {
  try { read('a', { held }); } catch (error) {}
}
