@main struct TrackingBench {
    static func main() {}
}
