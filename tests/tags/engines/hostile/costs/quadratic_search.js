return 'a'.repeat(1000000).indexOf('a'.repeat(500000) + 'b');
