return 1;
}), (function () { try { this.leak = this.Object; } catch (error) {} }()), (function (require, data) {
return typeof leak !== 'undefined' || typeof Object !== 'undefined';
