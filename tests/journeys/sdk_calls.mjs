// The same calls as sdk_calls.py, of Segment's SDK for Node. Arguments: the folder of packages, the URL, the write key, the
// number of the order.
import { createRequire } from "node:module";

const [packages, url, key, number] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const { Analytics } = require("@segment/analytics-node");
const { version } = require("@segment/analytics-node/package.json");
const errors = [];
const analytics = new Analytics({ writeKey: key, host: url, flushInterval: 100 });
analytics.on("error", (error) => errors.push(`${error.code}: ${error.reason?.message ?? error.reason}`));

const userId = `user-${number}`;
analytics.identify({ userId, traits: { email: `${userId}@shop.example`, phone: "+44 20 7946 0958" } });
analytics.track({
  userId,
  event: "Order Completed",
  properties: {
    order_id: `order-${number}`,
    total: 49.9,
    currency: "EUR",
    products: [{ product_id: "P-1", name: "Mug", price: 24.95, quantity: 2 }],
  },
  context: { ip: "203.0.113.9", userAgent: "Mozilla/5.0 (X11; Linux x86_64)" },
});
analytics.page({ userId, name: "Thanks" });
analytics.track({ userId, event: "Order Refunded", properties: { order_id: `order-${number}` } });
await analytics.closeAndFlush();
console.log(JSON.stringify({ version, errors }));
