import Foundation
import Synchronization

/// Answers `GET /metrics` on the loopback interface with the text it was last given. One request at a time, each within
/// two seconds; nothing of a request is used but its first line.
final class MetricsServer: Sendable {
    private let listener: Int32
    /// The port that was bound.
    let port: UInt16
    private let text = Mutex("")
    private let isStopped = Mutex(false)

    private static let requestLimit = 8192
    private static let patience = timeval(tv_sec: 2, tv_usec: 0)

    struct BindError: Error, CustomStringConvertible {
        var port: UInt16
        var reason: String
        var description: String { "port \(port) of 127.0.0.1 cannot be used: \(reason)" }
    }

    /// - Parameter port: 0 takes a free one.
    init(port: UInt16) throws {
        let opened = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard opened >= 0 else { throw BindError(port: port, reason: String(cString: strerror(errno))) }
        var yes: Int32 = 1
        setsockopt(opened, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(opened, $0, length) == 0 && listen(opened, 8) == 0 && getsockname(opened, $0, &length) == 0
            }
        }
        guard isBound else {
            let reason = String(cString: strerror(errno))
            close(opened)
            throw BindError(port: port, reason: reason)
        }
        listener = opened
        self.port = UInt16(bigEndian: address.sin_port)
        let thread = Thread { [self] in serve() }
        thread.name = "metrics"
        thread.start()
    }

    func publish(_ metrics: String) { text.withLock { $0 = metrics } }

    /// Takes no further request.
    func stop() {
        isStopped.withLock { $0 = true }
        shutdown(listener, Int32(SHUT_RDWR))
    }

    private func serve() {
        while true {
            let client = accept(listener, nil, nil)
            if isStopped.withLock({ $0 }) {
                if client >= 0 { close(client) }
                close(listener)
                return
            }
            guard client >= 0 else {
                // Out of descriptors, or a client that is gone already.
                if errno != EINTR, errno != ECONNABORTED { usleep(100_000) }
                continue
            }
            answer(client)
            close(client)
        }
    }

    private func answer(_ client: Int32) {
        var patience = Self.patience
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, size)
        setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, size)
        let end = Date().addingTimeInterval(2)
        var request: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1024)
        while !Self.isWhole(request) {
            let count = recv(client, &piece, piece.count, 0)
            guard count > 0, request.count + count <= Self.requestLimit, Date() < end else { return }
            request += piece[..<count]
        }
        send(response(to: request), to: client)
    }

    private static func isWhole(_ request: [UInt8]) -> Bool {
        String(decoding: request.suffix(1100), as: UTF8.self).contains("\r\n\r\n")
    }

    private func response(to request: [UInt8]) -> [UInt8] {
        let line = String(decoding: request.prefix { $0 != 13 }, as: UTF8.self).split(separator: " ")
        let (method, path) = (line.first ?? "", line.dropFirst().first ?? "")
        switch (method, path.split(separator: "?").first ?? "") {
        case ("GET", "/metrics"), ("HEAD", "/metrics"):
            return Self.message("200 OK", text.withLock { $0 }, hasBody: method == "GET")
        case ("GET", _), ("HEAD", _):
            return Self.message("404 Not Found", "metrics are at /metrics\n", hasBody: method == "GET")
        default: return Self.message("405 Method Not Allowed", "only GET\n", hasBody: true)
        }
    }

    private static func message(_ status: String, _ body: String, hasBody: Bool) -> [UInt8] {
        let head = """
            HTTP/1.1 \(status)\r
            Content-Type: text/plain; version=0.0.4; charset=utf-8\r
            Content-Length: \(body.utf8.count)\r
            Connection: close\r
            \r

            """
        return Array(head.utf8) + (hasBody ? Array(body.utf8) : [])
    }

    private func send(_ bytes: [UInt8], to client: Int32) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.send(client, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
        // The answer arrives whole even where the client said more than was read.
        shutdown(client, Int32(SHUT_WR))
    }
}
