return 'a'.repeat(1000000).split('a'.repeat(500000) + 'b').length;
