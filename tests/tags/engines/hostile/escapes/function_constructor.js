return typeof (function () {}).constructor === 'function' && (function () {}).constructor('return 1')() === 1;
