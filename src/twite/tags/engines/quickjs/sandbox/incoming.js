// The APIs that read the request and the event.

function hasOwn(object, key) {
  return apply(ownProperty, object, [key]);
}

function headerValue(name) {
  const headers = current.call.request.headers;
  let found;
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i];
    if (header[0] === name) found = found === undefined ? header[1] : found + ', ' + header[1];
  }
  return found;
}

function requestPart(part) {
  need(granted.request.indexOf(part) >= 0, 'read_request', part);
}

function eventData() {
  if (current.event === undefined) current.event = parsed(current.eventText);
  return current.event;
}

function isGa4() {
  const values = queryValues(current.call.request.query);
  return current.call.request.path === '/g/collect' && values.v === '2' && hasOwn(values, 'tid');
}

const incomingApis = {
  getAllEventData() {
    need(everything(granted.event), 'read_event_data', 'all of it');
    return parsed(current.eventText);
  },
  getEventData(path) {
    const text = makeString(path);
    need(fits(granted.event, text), 'read_event_data', text);
    let value = eventData();
    for (const key of text.split('.')) {
      if (value === null || typeof value !== 'object' || !hasOwn(value, key)) return undefined;
      value = value[key];
    }
    return copied(value);
  },
  getClientName() {
    needPlain('read_container_data');
    return current.call.client;
  },
  getContainerVersion() {
    needPlain('read_container_data');
    return Object.assign({}, current.call.container);
  },
  getRequestHeader(name) {
    const lower = makeString(name).toLowerCase();
    need(fits(granted.headers, lower), 'read_request', 'header ' + lower);
    return headerValue(lower);
  },
  getRequestMethod: () => current.call.request.method,
  getRequestBody() {
    requestPart('body');
    const body = current.call.request.body;
    return body === null ? undefined : body;
  },
  getRequestPath() {
    requestPart('path');
    return current.call.request.path;
  },
  getRequestQueryString() {
    need(everything(granted.query), 'read_request', 'the whole query');
    return current.call.request.query;
  },
  getRequestQueryParameter(name) {
    const text = makeString(name);
    need(fits(granted.query, text), 'read_request', 'query parameter ' + text);
    const values = queryValues(current.call.request.query);
    if (!hasOwn(values, text)) return undefined;
    return Array.isArray(values[text]) ? values[text][0] : values[text];
  },
  getRequestQueryParameters() {
    need(everything(granted.query), 'read_request', 'the whole query');
    return queryValues(current.call.request.query);
  },
  getRemoteAddress() {
    requestPart('remote_address');
    return current.call.request.remote_address;
  },
  getCookieValues(name, noDecode) {
    const text = makeString(name);
    need(fits(granted.readCookies, text), 'get_cookies', text);
    const found = [];
    const header = headerValue('cookie') || '';
    for (let from = 0, end = 0; from <= header.length; from = end + 1) {
      end = indexIn(header, ';', from);
      if (end < 0) end = header.length;
      const at = indexIn(header, '=', from);
      if (at < 0) break;
      if (at > end || at - from < text.length || trimmed(header.slice(from, at)) !== text) continue;
      let value = trimmed(header.slice(at + 1, end));
      if (value[0] === '"') value = value.replace(/^"(.*)"$/, '$1');
      const isPlain = noDecode || indexIn(value, '%', 0) < 0;
      const plain = isPlain ? undefined : valueApis.decodeUriComponent(value);
      found.push(plain === undefined ? value : plain);
    }
    return found;
  },
  isRequestMpv1() {
    const values = queryValues(current.call.request.query);
    return values.v === '1' && hasOwn(values, 'tid');
  },
  isRequestMpv2: isGa4,
  extractEventsFromMpv1() {
    throw new Error('extractEventsFromMpv1 is not supported: Universal Analytics has ended');
  },
  extractEventsFromMpv2() {
    requestPart('body');
    if (!current.call.extracted) throw new Error('the request is not a Measurement Protocol v2 request');
    return copied(current.call.extracted);
  },
};
