import CSystem
import Glibc

/// What a process in the sandbox tries.
enum Attempt: String {
    case readFile = "read-file"
    case makeFile = "make-file"
    case removeFile = "remove-file"
    case listFolder = "list-folder"
    case inspectFile = "inspect-file"
    case changeMode = "change-mode"
    case socket, pair, pipe, duplicate, thread, fork, exec, signal, sleep
    case code = "map-code"
    case protect = "protect-code"
    case raise = "raise-limit"
    case trace
    case readOthers = "read-others"
    case namespace
    case program = "kernel-program"
    case ring = "io-uring"
    case nothing

    /// 0 when it succeeded, else the error number.
    func result(parent: pid_t) -> Int32 {
        errno = 0
        return perform(parent: parent) < 0 ? errno : 0
    }

    private func perform(parent: pid_t) -> Int {
        let path = "/tmp/dropreel-attempt"
        var numbers: [Int32] = [0, 0]
        switch self {
        case .nothing: return 0
        case .readFile: return Int(open("/etc/passwd", O_RDONLY))
        case .makeFile: return Int(open(path, O_WRONLY | O_CREAT, 0o600))
        case .removeFile: return Int(unlink(path))
        case .listFolder: return Int(dropreel_open_beneath(AT_FDCWD, "tmp", O_RDONLY | O_DIRECTORY, 0))
        case .inspectFile:
            var status = stat()
            return Int(lstat("/etc/passwd", &status))
        case .changeMode: return Int(fchmod(STDIN_FILENO, 0o777))
        case .socket: return Int(Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        case .pair: return Int(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &numbers))
        case .pipe: return Int(Glibc.pipe(&numbers))
        case .duplicate: return Int(dup(STDIN_FILENO))
        case .thread:
            var thread = pthread_t()
            errno = pthread_create(&thread, nil, { _ in nil }, nil)
            return errno == 0 ? 0 : -1
        case .fork: return Int(spawnNothing())
        case .exec:
            var words: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
            return Int(execv("/bin/true", &words))
        case .signal: return Int(kill(parent, 0))
        case .sleep: return Int(usleep(1))
        case .code: return mapped(PROT_READ | PROT_EXEC) == MAP_FAILED ? -1 : 0
        case .protect:
            guard let page = mapped(PROT_READ | PROT_WRITE), page != MAP_FAILED else { return 0 }
            return Int(mprotect(page, 4_096, PROT_READ | PROT_EXEC))
        case .raise:
            var limit = rlimit(rlim_cur: 1 << 40, rlim_max: 1 << 40)
            return Int(setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit))
        case .trace, .readOthers, .namespace, .program, .ring: return RawCall.perform(self, upon: parent)
        }
    }

    private func mapped(_ protection: Int32) -> UnsafeMutableRawPointer? {
        mmap(nil, 4_096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    }

    private func spawnNothing() -> pid_t {
        var words: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
        var none: [UnsafeMutablePointer<CChar>?] = [nil]
        return dropreel_spawn("/bin/true", &words, &none, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO)
    }
}

/// Calls that Swift does not see.
enum RawCall {
    typealias Function = @convention(c) (Int, Int, Int, Int, Int, Int, Int) -> Int

    /// Invariant: found once, before the sandbox is entered; the C function is variadic, which passes whole numbers as
    /// any other function does.
    nonisolated(unsafe) static let function = unsafeBitCast(dlsym(nil, "syscall"), to: Function.self)

    static func perform(_ attempt: Attempt, upon process: pid_t) -> Int {
        #if arch(x86_64)
            let numbers: [Attempt: Int] = [
                .trace: 101, .readOthers: 310, .namespace: 272, .program: 321, .ring: 425,
            ]
        #else
            let numbers: [Attempt: Int] = [.trace: 117, .readOthers: 270, .namespace: 97, .program: 280, .ring: 425]
        #endif
        let attach = 16
        let userNamespace = 0x1000_0000
        return switch attempt {
        case .trace: function(numbers[attempt]!, attach, Int(process), 0, 0, 0, 0)
        case .namespace: function(numbers[attempt]!, userNamespace, 0, 0, 0, 0, 0)
        case .ring: function(numbers[attempt]!, 1, 0, 0, 0, 0, 0)
        default: function(numbers[attempt]!, Int(process), 0, 0, 0, 0, 0)
        }
    }
}
