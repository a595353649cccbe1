try {
  require('JSON').parse = () => 'mine';
} catch (error) {}
try {
  require('getType').kept = 1;
} catch (error) {}
return require('JSON').parse('1') === 'mine' || require('getType').kept === 1;
