try {
  return !!arguments.callee;
} catch (error) {
  return false;
}
