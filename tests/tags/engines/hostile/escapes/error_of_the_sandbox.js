try {
  require('no such thing');
} catch (error) {
  return !!error.constructor || !!Object;
}
return true;
