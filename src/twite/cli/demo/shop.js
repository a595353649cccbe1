// A separate file, because the shop's Content-Security-Policy forbids inline scripts. The first line
// queues calls until twite.js has loaded, which loads X's pixel from the emulator.
window.twite = window.twite || function () { (twite.q = twite.q || []).push(arguments); };
twite('config', {pixel_url: {{ pixel_url }}});
const order = document.body.dataset;
if (order.id) {
  twite('purchase', {
    conversion_id: order.id, value: order.value, currency: order.currency, email: order.email,
    contents: [{id: 'MUG-1', name: 'Mug', price: order.value, quantity: 1}],
  });
}
