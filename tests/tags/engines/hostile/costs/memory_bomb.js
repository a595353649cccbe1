const held = [];
for (;;) held.push('x'.repeat(100000) + held.length);
