return ('a'.repeat(60) + 'b').match('^(a+)+$');
