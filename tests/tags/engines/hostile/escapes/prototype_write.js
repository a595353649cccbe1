try {
  (function () {}).prototype.leak = 1;
  ''.trim.leak = 1;
  [].map.leak = 1;
} catch (error) {
  return false;
}
return [].map.leak === 1;
