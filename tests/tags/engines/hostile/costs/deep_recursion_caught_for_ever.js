const deep = () => { try { deep(); } catch (error) { deep(); } };
for (;;) deep();
