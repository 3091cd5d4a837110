import Foundation

/// What a GPU's management library says of its power and clocks at one moment.
public struct PowerState: Sendable, Codable {
    /// Watts.
    public let draw: Double
    public let limit: Double
    /// MHz.
    public let multiprocessorClock: Int
    public let memoryClock: Int
    /// Degrees Celsius.
    public let temperature: Int
    /// "580.159.04".
    public let driver: String

    public var text: String {
        String(
            format: "driver %@, %.0f of %.0f W, multiprocessors at %d MHz, memory at %d MHz, %d degrees Celsius",
            driver,
            draw, limit, multiprocessorClock, memoryClock, temperature)
    }

    /// nil where the library (`libnvidia-ml.so.1`) or the device is not to be found.
    public init?(of stream: CUDAStream) {
        typealias Status = Int32
        typealias Handle = OpaquePointer
        typealias Number = UnsafeMutablePointer<UInt32>
        guard let library = try? DynamicLibrary.open(["libnvidia-ml.so.1"], in: []),
            let start: @convention(c) () -> Status = try? library.function("nvmlInit_v2"),
            let stop: @convention(c) () -> Status = try? library.function("nvmlShutdown"),
            let find: @convention(c) (UnsafePointer<CChar>, UnsafeMutablePointer<Handle?>) -> Status =
                try? library.function("nvmlDeviceGetHandleByPciBusId_v2"),
            let drawOf: @convention(c) (Handle, Number) -> Status = try? library.function("nvmlDeviceGetPowerUsage"),
            let limitOf: @convention(c) (Handle, Number) -> Status =
                try? library.function("nvmlDeviceGetEnforcedPowerLimit"),
            let clockOf: @convention(c) (Handle, UInt32, Number) -> Status =
                try? library.function("nvmlDeviceGetClockInfo"),
            let temperatureOf: @convention(c) (Handle, UInt32, Number) -> Status =
                try? library.function("nvmlDeviceGetTemperature"),
            let driverOf: @convention(c) (UnsafeMutablePointer<CChar>, UInt32) -> Status =
                try? library.function("nvmlSystemGetDriverVersion"),
            let place = stream.device.busIdentifier, start() == 0
        else { return nil }
        defer { _ = stop() }
        var handle: Handle?
        guard find(place, &handle) == 0, let handle else { return nil }
        var (watts, most, clock, memory, heat): (UInt32, UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0, 0)
        var name = [CChar](repeating: 0, count: 96)
        guard drawOf(handle, &watts) == 0, limitOf(handle, &most) == 0, clockOf(handle, 1, &clock) == 0,
            clockOf(handle, 2, &memory) == 0, temperatureOf(handle, 0, &heat) == 0, driverOf(&name, 96) == 0
        else { return nil }
        (draw, limit) = (Double(watts) / 1000, Double(most) / 1000)
        (multiprocessorClock, memoryClock, temperature) = (Int(clock), Int(memory), Int(heat))
        driver = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
