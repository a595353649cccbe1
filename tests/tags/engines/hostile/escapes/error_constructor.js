try {
  null.x;
} catch (error) {
  return !!error.constructor;
}
return true;
