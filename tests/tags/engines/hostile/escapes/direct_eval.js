try {
  return !!eval('1');
} catch (error) {
  return false;
}
