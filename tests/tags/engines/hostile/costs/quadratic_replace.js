return 'a'.repeat(1000000).replace('a'.repeat(500000) + 'b', '').length;
