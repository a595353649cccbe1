let held = [1];
for (;;) held = held.concat(held);
