let held = [];
for (;;) {
  try { held.push('x'.repeat(1000000) + held.length); } catch (error) { held = []; }
}
