import CSMBClient
import Foundation

/// One person's connection to the share, by Samba's client library. Paths are below the share; for one thread at a time.
final class ShareClient {
    struct Failure: Error, CustomStringConvertible {
        var call: String
        var path: String
        var number: Int32
        var description: String { "SMB \(call) \(path): \(String(cString: strerror(number)))" }
    }

    /// What the share tells about a file.
    struct Entry: Hashable {
        var name: String
        var size: Int
        var isFolder: Bool
    }

    private let context: UnsafeMutablePointer<SMBCCTX>
    private let person: PersonBox
    private let address: String
    private let port: UInt16

    init(_ server: SambaServer, as person: SambaServer.Person) throws {
        guard let fresh = smbc_new_context() else { throw Failure(call: "context", path: "", number: errno) }
        self.person = PersonBox(person)
        smbc_setOptionUserData(fresh, Unmanaged.passUnretained(self.person).toOpaque())
        smbc_setFunctionAuthDataWithContext(fresh, authenticate)
        smbc_setConfiguration(fresh, server.clientConfiguration.path)
        smbc_setPort(fresh, server.port)
        smbc_setTimeout(fresh, 60_000)
        smbc_setOptionOpenShareMode(fresh, SMBC_SHAREMODE_DENY_NONE)
        smbc_setOptionNoAutoAnonymousLogin(fresh, 1)
        guard let context = smbc_init_context(fresh) else {
            let number = errno
            smbc_free_context(fresh, 1)
            throw Failure(call: "init", path: "", number: number)
        }
        self.context = context
        port = server.port
        address = "smb://127.0.0.1:\(server.port)/\(SambaServer.shareName)/"
    }

    deinit { smbc_free_context(context, 1) }

    private func url(_ path: String) -> String {
        let plain = CharacterSet(charactersIn: "/._-").union(.init(charactersIn: "0"..."9"))
            .union(.init(charactersIn: "a"..."z")).union(.init(charactersIn: "A"..."Z"))
        return address + (path.addingPercentEncoding(withAllowedCharacters: plain) ?? "")
    }

    private func check(_ result: Int32, _ call: String, _ path: String) throws {
        if result != 0 { throw Failure(call: call, path: path, number: errno) }
    }

    // MARK: Files

    /// A file that the client holds open.
    final class RemoteFile {
        private let client: ShareClient
        private let path: String
        private var file: OpaquePointer?

        fileprivate init(_ client: ShareClient, _ path: String, _ file: OpaquePointer) {
            (self.client, self.path, self.file) = (client, path, file)
        }

        deinit { try? close() }

        func write(_ bytes: Data) throws {
            var rest = bytes[...]
            while !rest.isEmpty {
                let block = rest.prefix(1 << 16)
                let written = block.withUnsafeBytes {
                    smbc_getFunctionWrite(client.context)(client.context, file, $0.baseAddress, $0.count)
                }
                guard written > 0 else { throw Failure(call: "write", path: path, number: errno) }
                rest = rest.dropFirst(written)
            }
        }

        func setSize(_ size: Int) throws {
            try client.check(
                smbc_getFunctionFtruncate(client.context)(client.context, file, off_t(size)), "ftruncate", path)
        }

        func readAll() throws -> Data {
            var bytes = Data()
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = smbc_getFunctionRead(client.context)(client.context, file, &buffer, buffer.count)
                guard count >= 0 else { throw Failure(call: "read", path: path, number: errno) }
                if count == 0 { return bytes }
                bytes += buffer[..<count]
            }
        }

        func close() throws {
            guard let file else { return }
            self.file = nil
            try client.check(smbc_getFunctionClose(client.context)(client.context, file), "close", path)
        }
    }

    func open(_ path: String, _ flags: Int32 = O_RDONLY) throws -> RemoteFile {
        guard let file = smbc_getFunctionOpen(context)(context, url(path), flags, 0o666) else {
            throw Failure(call: "open", path: path, number: errno)
        }
        return RemoteFile(self, path, file)
    }

    /// Creates the file, or empties it in place.
    func create(_ path: String) throws -> RemoteFile { try open(path, O_CREAT | O_RDWR | O_TRUNC) }

    func put(_ path: String, _ bytes: Data) throws {
        let file = try create(path)
        try file.write(bytes)
        try file.close()
    }

    func put(_ path: String, _ text: String) throws { try put(path, Data(text.utf8)) }

    func get(_ path: String) throws -> Data {
        let file = try open(path)
        defer { try? file.close() }
        return try file.readAll()
    }

    /// Nil while there is none.
    func text(_ path: String) -> String? { (try? get(path)).flatMap { String(data: $0, encoding: .utf8) } }

    /// Sets last access and last change, as a copy does that keeps its original's.
    func setTime(_ path: String, secondsSince1970 seconds: Int) throws {
        var times = [timeval(tv_sec: seconds, tv_usec: 0), timeval(tv_sec: seconds, tv_usec: 0)]
        try check(smbc_getFunctionUtimes(context)(context, url(path), &times), "utimes", path)
    }

    func rename(_ from: String, _ to: String) throws {
        try check(smbc_getFunctionRename(context)(context, url(from), context, url(to)), "rename", from)
    }

    func delete(_ path: String) throws {
        try check(smbc_getFunctionUnlink(context)(context, url(path)), "unlink", path)
    }

    // MARK: Folders

    func makeFolder(_ path: String) throws {
        try check(smbc_getFunctionMkdir(context)(context, url(path), 0o777), "mkdir", path)
    }

    func removeFolder(_ path: String) throws {
        try check(smbc_getFunctionRmdir(context)(context, url(path)), "rmdir", path)
    }

    /// What the folder shows, sorted by name.
    func list(_ path: String) throws -> [Entry] {
        guard let folder = smbc_getFunctionOpendir(context)(context, url(path)) else {
            throw Failure(call: "opendir", path: path, number: errno)
        }
        defer { _ = smbc_getFunctionClosedir(context)(context, folder) }
        var entries: [Entry] = []
        while let entry = smbc_getFunctionReaddirPlus(context)(context, folder)?.pointee {
            let name = String(cString: entry.name)
            if name == "." || name == ".." { continue }
            entries.append(
                Entry(
                    name: name, size: Int(entry.size),
                    isFolder: Int32(entry.attrs) & SMBC_DOS_MODE_DIRECTORY != 0))
        }
        return entries.sorted { $0.name < $1.name }
    }

    func names(_ path: String, _ ending: String = "") -> [String] {
        ((try? list(path)) ?? []).map(\.name).filter { $0.hasSuffix(ending) }
    }

    // MARK: The connection

    /// Breaks every connection of this process to the server, as a cable that is pulled and a host that says so: the
    /// peer gets a reset, nothing is closed in order.
    /// - Returns: how many there were.
    func reset() throws -> Int {
        let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap { Int32($0) }
        return open.count { descriptor in
            var peer = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            return withUnsafeMutableBytes(of: &peer) { bytes in
                let address = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
                guard getpeername(descriptor, address, &length) == 0, address.pointee.sa_family == AF_INET,
                    bytes.load(fromByteOffset: 2, as: UInt16.self) == port.bigEndian
                else { return false }
                // Linux: connecting to no address resets the connection.
                address.pointee.sa_family = sa_family_t(AF_UNSPEC)
                return connect(descriptor, address, length) == 0
            }
        }
    }
}

/// What the library is given to find the account again.
private final class PersonBox {
    let person: SambaServer.Person
    init(_ person: SambaServer.Person) { self.person = person }
}

private func authenticate(
    _ context: UnsafeMutablePointer<SMBCCTX>?, _ server: UnsafePointer<CChar>?, _ share: UnsafePointer<CChar>?,
    _ workgroup: UnsafeMutablePointer<CChar>?, _ workgroupLength: Int32,
    _ user: UnsafeMutablePointer<CChar>?, _ userLength: Int32,
    _ password: UnsafeMutablePointer<CChar>?, _ passwordLength: Int32
) {
    guard let context, let data = smbc_getOptionUserData(context), let user, let password else { return }
    let person = Unmanaged<PersonBox>.fromOpaque(data).takeUnretainedValue().person
    strncpy(user, person.name, Int(userLength) - 1)
    strncpy(password, person.password, Int(passwordLength) - 1)
}
