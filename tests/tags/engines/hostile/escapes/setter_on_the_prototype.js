// The setter that allows `object.toString = …` must not write to the prototype itself.
const object = {};
object.toString = () => 'mine';
return '' + {} === 'mine';
