try {
  [].join.call = () => 'mine';
} catch (error) {}
return [].join.call(['a'], '') === 'mine';
