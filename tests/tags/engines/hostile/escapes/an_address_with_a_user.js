try {
  require('sendHttpRequest')('https://allowed.example@evil.example/', {});
  require('sendHttpRequest')('https://allowed.example\\@evil.example/', {});
  require('sendHttpRequest')('https://evil.example\\@allowed.example/', {});
} catch (error) {
  return false;
}
return true;
