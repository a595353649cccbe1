return require('testRegex')(require('createRegex')('^(a+)+$'), 'a'.repeat(60) + 'b');
