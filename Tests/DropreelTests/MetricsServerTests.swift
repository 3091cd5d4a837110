import Foundation
import Testing

@testable import dropreel

@Suite struct MetricsServerTests {
    /// What a client gets that sends these bytes and reads to the end.
    private func ask(_ port: UInt16, _ request: String, ends: Bool = false) throws -> String {
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(client) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(client, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        try #require(isConnected)
        let bytes = Array(request.utf8)
        _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        if ends { shutdown(client, Int32(SHUT_WR)) }
        var answer: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(client, &piece, piece.count, 0)
            guard count > 0 else { return String(decoding: answer, as: UTF8.self) }
            answer += piece[..<count]
        }
    }

    @Test func metricsAreServedAndNothingElse() throws {
        let server = try MetricsServer(port: 0)
        defer { server.stop() }
        server.publish("dropreel_up 1\n")
        let answer = try ask(server.port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\r\n\r\ndropreel_up 1\n"))
        #expect(answer.contains("Content-Length: 14\r\n"))
        server.publish("dropreel_up 0\n")
        #expect(try ask(server.port, "GET /metrics?x=1 HTTP/1.0\r\n\r\n").hasSuffix("dropreel_up 0\n"))
        #expect(try ask(server.port, "HEAD /metrics HTTP/1.1\r\n\r\n").hasSuffix("\r\n\r\n"))
        #expect(try ask(server.port, "GET /etc/passwd HTTP/1.1\r\n\r\n").hasPrefix("HTTP/1.1 404 "))
        #expect(try ask(server.port, "POST /metrics HTTP/1.1\r\n\r\n").hasPrefix("HTTP/1.1 405 "))
    }

    @Test func whatIsNoRequestEndsTheConnectionAndNotTheServer() throws {
        let server = try MetricsServer(port: 0)
        defer { server.stop() }
        server.publish("ok\n")
        #expect(try ask(server.port, String(repeating: "x", count: 20_000)) == "")
        #expect(try ask(server.port, "GET /metrics", ends: true) == "")
        #expect(try ask(server.port, "\r\n\r\n").hasPrefix("HTTP/1.1 405 "))
        #expect(try ask(server.port, "GET /metrics HTTP/1.1\r\n\r\n").hasSuffix("ok\n"))
    }

    @Test func aPortThatIsTakenIsAnError() throws {
        let server = try MetricsServer(port: 0)
        defer { server.stop() }
        let error = #expect(throws: MetricsServer.BindError.self) { _ = try MetricsServer(port: server.port) }
        #expect(error?.description.hasPrefix("port \(server.port) of 127.0.0.1 cannot be used: ") == true)
    }
}
