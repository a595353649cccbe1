for (let i = 0; i < 10000; i++) {
  try { require('sendHttpRequest')('https://allowed.example/', {}); } catch (error) {}
}
data.gtmOnSuccess();
