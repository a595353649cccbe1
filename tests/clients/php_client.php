<?php

// Runs a call on standard input with the client; prints its outcome.

declare(strict_types=1);

$call = json_decode(stream_get_contents(STDIN), true);
foreach ($call['load'] as $file) {
    require $file;
}
require $call['client'];

/** A PSR-18 client over the streams: applications bring their own. */
function psrTransport(float $timeout): Twite\Transport
{
    $streams = new Twite\StreamTransport($timeout);
    $client = new class ($streams) implements Psr\Http\Client\ClientInterface {
        public function __construct(private Twite\Transport $streams)
        {
        }

        public function sendRequest(Psr\Http\Message\RequestInterface $request): Psr\Http\Message\ResponseInterface
        {
            $headers = array_map(fn ($values) => implode(', ', $values), $request->getHeaders());
            unset($headers['Host']);
            try {
                [$status, $received, $body] = $this->streams->post((string) $request->getUri(), $headers, (string) $request->getBody());
            } catch (Twite\NoAnswer $error) {
                throw new class ('gone') extends RuntimeException implements Psr\Http\Client\ClientExceptionInterface {
                };
            }
            return new GuzzleHttp\Psr7\Response($status, $received, $body);
        }
    };
    $factory = new GuzzleHttp\Psr7\HttpFactory();
    return new Twite\PsrTransport($client, $factory, $factory);
}

$timeout = $call['timeout'] ?? 10.0;
$transport = $call['psr'] ? psrTransport($timeout) : new Twite\StreamTransport($timeout);
$argument = $call['argument'];
if (isset($call['time'])) {
    $argument['time'] = new DateTimeImmutable($call['time']);
}
try {
    $twite = new Twite\Client($call['url'], $call['key'], $call['attempts'], $transport, 0.001);
    $receipt = $twite->{$call['method']}($argument, $call['idempotency_key'] ?? null);
    ob_start();
    var_dump($twite);
    echo json_encode(['receipt' => $receipt, 'dump' => ob_get_clean()]);
} catch (Exception $error) {
    echo json_encode([
        'error' => basename(strtr($error::class, '\\', '/')),
        'text' => (string) $error,
        'accepted' => $error->receipt->accepted ?? null,
        'faults' => $error->faults ?? null,
    ]);
}
