// Asked in a context of its own: which functions a template can come to, as code.
((Reflect, Object, JSON) => {
  const [apis, require] = SCRIPT;
  const thrown = () => { try { null.x; } catch (error) { return error; } };
  const found = [];
  const walk = (name, root) => {
    for (let at = root; at !== null && at !== undefined; at = Object.getPrototypeOf(Object(at))) {
      if (at === Object.prototype && name !== '({})') break;
      for (const key of Reflect.ownKeys(Object(at))) {
        try { if (typeof root[key] === 'function') found.push(name + '.' + key); } catch (error) {}
      }
    }
  };
  [ROOTS].forEach(([name, root]) => walk(name, root));
  for (const name of Object.keys(apis)) {
    const code = "require('" + name + "')";
    if (typeof apis[name] === 'function') found.push(code);
    else walk(code, apis[name]);
  }
  return JSON.stringify(found);
})(Reflect, Object, JSON)
