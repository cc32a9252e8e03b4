// Servers server NIO THREADS HTTP UDP ASYNCHRONOUS FOLDER | client ADDRESS PORT WHAT FILE
// Echo servers by a selector, by threads and by asynchronous channels; clients that check every byte and print `good`.
import com.sun.net.httpserver.HttpServer;
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;

public final class Servers {
    static final Random random = new Random(7);

    public static void main(String[] a) throws Exception {
        if (a[0].equals("server")) {
            thread(() -> nio(port(a[1])));
            thread(() -> threads(port(a[2])));
            thread(() -> datagrams(port(a[4])));
            asynchronous(port(a[5]));
            http(port(a[3]), Path.of(a[6]));
            Thread.sleep(Long.MAX_VALUE);
        }
        client(a[1], port(a[2]), a[3], a[4]);
        System.out.println("good");
        System.exit(0);
    }

    static int port(String text) { return Integer.parseInt(text); }

    interface Task { void run() throws Exception; }

    static Thread thread(Task task) {
        Thread made = new Thread(() -> {
            try {
                task.run();
            } catch (Exception error) {
                error.printStackTrace();
                System.exit(1);
            }
        });
        made.start();
        return made;
    }

    static void nio(int port) throws Exception {
        Selector selector = Selector.open();
        ServerSocketChannel listener = ServerSocketChannel.open().bind(new InetSocketAddress(port), 100);
        listener.configureBlocking(false).register(selector, SelectionKey.OP_ACCEPT);
        while (true) {
            selector.select();
            for (Iterator<SelectionKey> keys = selector.selectedKeys().iterator(); keys.hasNext();) {
                SelectionKey key = keys.next();
                keys.remove();
                if (key.isAcceptable()) {
                    SocketChannel s = listener.accept();
                    s.configureBlocking(false)
                        .register(selector, SelectionKey.OP_READ, ByteBuffer.allocateDirect(65536));
                    continue;
                }
                SocketChannel s = (SocketChannel) key.channel();
                ByteBuffer buffer = (ByteBuffer) key.attachment();
                try {
                    boolean ended = key.isReadable() && s.read(buffer) < 0;
                    buffer.flip();
                    s.write(buffer);
                    buffer.compact();
                    if (ended && buffer.position() == 0) {
                        s.close();
                        continue;
                    }
                    key.interestOps((buffer.hasRemaining() && !ended ? SelectionKey.OP_READ : 0)
                        | (buffer.position() > 0 || ended ? SelectionKey.OP_WRITE : 0));
                } catch (IOException reset) {
                    s.close();
                }
            }
        }
    }

    static void threads(int port) throws Exception {
        ServerSocket listener = new ServerSocket(port, 100);
        while (true) {
            Socket s = listener.accept();
            thread(() -> {
                try (s) {
                    s.getInputStream().transferTo(s.getOutputStream());
                } catch (IOException reset) {
                    // The client left.
                }
            });
        }
    }

    static void asynchronous(int port) throws Exception {
        AsynchronousServerSocketChannel listener = AsynchronousServerSocketChannel.open()
            .bind(new InetSocketAddress(port), 100);
        listener.accept(null, new CompletionHandler<AsynchronousSocketChannel, Void>() {
            public void completed(AsynchronousSocketChannel s, Void none) {
                listener.accept(null, this);
                turn(s, ByteBuffer.allocateDirect(65536), true);
            }
            public void failed(Throwable error, Void none) { error.printStackTrace(); }
        });
    }

    static void turn(AsynchronousSocketChannel s, ByteBuffer buffer, boolean reads) {
        CompletionHandler<Integer, Void> next = new CompletionHandler<>() {
            public void completed(Integer n, Void none) {
                if (reads && n < 0) {
                    failed(null, none);
                } else if (reads) {
                    buffer.flip();
                    turn(s, buffer, false);
                } else if (buffer.hasRemaining()) {
                    turn(s, buffer, false);
                } else {
                    buffer.clear();
                    turn(s, buffer, true);
                }
            }
            public void failed(Throwable error, Void none) {
                try {
                    s.close();
                } catch (IOException ignored) {
                    // It is gone either way.
                }
            }
        };
        if (reads) s.read(buffer, null, next);
        else s.write(buffer, null, next);
    }

    static void datagrams(int port) throws Exception {
        DatagramChannel channel = DatagramChannel.open().bind(new InetSocketAddress(port));
        ByteBuffer buffer = ByteBuffer.allocateDirect(65536);
        while (true) {
            buffer.clear();
            SocketAddress from = channel.receive(buffer);
            buffer.flip();
            channel.send(buffer, from);
        }
    }

    static void http(int port, Path folder) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 100);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/", exchange -> {
            try (exchange; FileInputStream in = new FileInputStream(folder + exchange.getRequestURI().getPath())) {
                exchange.sendResponseHeaders(200, in.getChannel().size());
                in.transferTo(exchange.getResponseBody());
            }
        });
        server.start();
    }

    static byte[] bytes(int count) {
        byte[] made = new byte[count];
        random.nextBytes(made);
        return made;
    }

    static void same(byte[] one, byte[] other) {
        if (!Arrays.equals(one, other)) throw new IllegalStateException("other bytes came back");
    }

    static void echo(Socket s, byte[] sent) throws Exception {
        Thread sender = thread(() -> s.getOutputStream().write(sent));
        same(sent, s.getInputStream().readNBytes(sent.length));
        sender.join();
    }

    static void client(String host, int port, String what, String file) throws Exception {
        InetSocketAddress there = new InetSocketAddress(host, port);
        switch (what) {
            case "echo" -> {
                try (Socket s = new Socket(host, port)) {
                    s.setTcpNoDelay(true);
                    for (int size : new int[] {1, 100, 1448, 65536, 1_000_000}) echo(s, bytes(size));
                }
            }
            case "large" -> {
                try (Socket s = new Socket(host, port)) {
                    echo(s, bytes(30_000_000));
                }
            }
            case "many" -> {
                ExecutorService pool = Executors.newFixedThreadPool(30);
                List<Future<?>> all = new ArrayList<>();
                for (int i = 0; i < 120; i++) {
                    all.add(pool.submit(() -> {
                        try (Socket s = new Socket(host, port)) {
                            echo(s, bytes(20_000));
                        }
                        return null;
                    }));
                }
                for (Future<?> one : all) one.get();
            }
            case "channel" -> channel(there, file);
            case "datagrams" -> {
                try (DatagramSocket s = new DatagramSocket()) {
                    s.setSoTimeout(3000);
                    for (int i = 1; i < 300; i++) {
                        byte[] sent = bytes(i * 4);
                        s.send(new DatagramPacket(sent, sent.length, there));
                        DatagramPacket got = new DatagramPacket(new byte[2000], 2000);
                        s.receive(got);
                        same(sent, Arrays.copyOf(got.getData(), got.getLength()));
                    }
                }
            }
            case "errors" -> errors(there);
            case "http" -> {
                HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
                HttpRequest request = HttpRequest.newBuilder(URI.create("http://" + host + ":" + port + "/1k")).build();
                byte[] wanted = Files.readAllBytes(Path.of(file));
                List<CompletableFuture<HttpResponse<byte[]>>> all = new ArrayList<>();
                for (int i = 0; i < 200; i++) {
                    all.add(client.sendAsync(request, HttpResponse.BodyHandlers.ofByteArray()));
                    if (i % 40 == 39) CompletableFuture.allOf(all.toArray(new CompletableFuture[0])).join();
                }
                for (var one : all) same(wanted, one.join().body());
            }
            default -> throw new IllegalArgumentException(what);
        }
    }

    /** A file by transferTo, back by a scattering read, with the sending half closed in between. */
    static void channel(SocketAddress there, String file) throws Exception {
        byte[] wanted = Files.readAllBytes(Path.of(file));
        try (SocketChannel s = SocketChannel.open(there); FileChannel in = FileChannel.open(Path.of(file))) {
            Thread sender = thread(() -> {
                for (long at = 0; at < in.size();) at += in.transferTo(at, in.size() - at, s);
            });
            byte[] got = new byte[wanted.length];
            int first = 1_000_000;
            ByteBuffer[] parts = {ByteBuffer.wrap(got, 0, first), ByteBuffer.wrap(got, first, got.length - first)};
            while (parts[1].hasRemaining()) {
                if (s.read(parts) < 0) throw new EOFException();
            }
            sender.join();
            same(wanted, got);
        }
    }

    static void errors(InetSocketAddress there) throws Exception {
        try (Socket s = new Socket()) {
            s.connect(there, 2000);
            s.setSoTimeout(200);
            try {
                s.getInputStream().read();
                throw new IllegalStateException("data that nobody sent");
            } catch (SocketTimeoutException expected) {
                echo(s, bytes(1000));
            }
            s.setSoLinger(true, 0);
        }
        try {
            new Socket(there.getAddress(), 9).close();
            throw new IllegalStateException("not refused");
        } catch (ConnectException expected) {
            // As it should.
        }
        Socket waiting = new Socket(there.getAddress(), there.getPort());
        Thread closer = thread(() -> {
            Thread.sleep(200);
            waiting.close();
        });
        try {
            waiting.getInputStream().read();
            throw new IllegalStateException("read from a closed socket");
        } catch (SocketException expected) {
            closer.join();
        }
    }
}
