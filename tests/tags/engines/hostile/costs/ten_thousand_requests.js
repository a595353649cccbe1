for (let i = 0; i < 10000; i++) require('sendHttpRequest')('https://allowed.example/', {});
