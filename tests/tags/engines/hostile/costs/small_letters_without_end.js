const text = 'X'.repeat(4000000);
for (;;) text.toLowerCase();
