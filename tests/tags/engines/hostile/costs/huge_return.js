return 'x'.repeat(4000000);
