package main

import "sync"

// rooms has the hub of each room that somebody is in.
type rooms struct {
	mutex sync.Mutex
	named map[string]*room
}

// room is a hub and how many clients have entered and not left.
type room struct {
	hub   *hub
	users int
}

func newRooms() *rooms {
	return &rooms{named: make(map[string]*room)}
}

// enter gives the hub of a room, which runs until all who entered have left.
func (r *rooms) enter(name string) *hub {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	entered, there := r.named[name]
	if !there {
		entered = &room{hub: newHub()}
		go entered.hub.run()
		r.named[name] = entered
	}
	entered.users++
	return entered.hub
}

// leave is for those who entered, once, when they use the hub no more.
func (r *rooms) leave(name string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	left := r.named[name]
	left.users--
	if left.users == 0 {
		delete(r.named, name)
		close(left.hub.empty)
	}
}
