try {
  return !!(function inner() { return inner.caller; })();
} catch (error) {
  return false;
}
